"""`POST /v2/models/sentence-embeddings/infer` and its fellows: texts to vectors of their meaning."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.sentence_embeddings.model")
