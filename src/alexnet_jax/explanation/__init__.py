"""A page that explains a trained network, in the order of the paper.

Each part has a module that collects its content as JSON; `content` joins them, `page`
puts them into the HTML, CSS and JavaScript of `web/`.
"""
