"""The commands' way out: the cluster of the kubeconfig."""
