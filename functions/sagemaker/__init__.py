"""The container that serves a model on SageMaker: the same package as the functions, behind HTTP."""
