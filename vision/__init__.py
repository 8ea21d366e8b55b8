"""Dataset in, trained lesion annotation network out; reads no text. Still to come."""
