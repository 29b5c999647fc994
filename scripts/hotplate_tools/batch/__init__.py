"""`hotplate batch`: files of rows, predicted by a deployed stack."""
