"""The model of a stack that runs on SageMaker: started, extended and stopped, always with an end."""
