"""`hotplate bench`: how fast is it, in figures that anybody can print again."""
