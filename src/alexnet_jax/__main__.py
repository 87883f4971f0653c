"""python -m alexnet_jax lists the commands."""

COMMANDS = """\
AlexNet as it was in 2012, in JAX and Flax. Each command has --help:

  python -m alexnet_jax.prepare    makes a dataset from archives or class folders
  python -m alexnet_jax.main       trains; the same command resumes
  python -m alexnet_jax.evaluate   loss and errors, one view or ten, one network or more
  python -m alexnet_jax.predict    prints the most probable classes of images
  python -m alexnet_jax.features   writes activations of layers to a file
  python -m alexnet_jax.visualize  draws kernels, maps, curves, predictions, neighbours
  python -m alexnet_jax.explain    writes a page that explains a network, for a browser
  python -m alexnet_jax.convert    converts weights from one format to another
  python -m alexnet_jax.launch     runs main or evaluate in several processes

From a clone: python -m experiments.run trains the ablations of the paper.
In Python: alexnet_jax.load("runs/").predict(["photo.jpg"]).top(5)"""

if __name__ == "__main__":
    print(COMMANDS)
