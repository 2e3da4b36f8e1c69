"""TensorFlow Serving's REST interface in Python, for where there is no model server."""
