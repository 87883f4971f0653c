"""cuda-convnet's CIFAR-10 nets, the basis of sections 3.1 and 3.3 of the paper."""
