"""Protocols whose paths do not begin with the model: requests go on to the function of theirs."""
