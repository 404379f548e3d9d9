"""trainyard: SageMaker training on any Kubernetes cluster."""

__version__ = "0.1.0"
