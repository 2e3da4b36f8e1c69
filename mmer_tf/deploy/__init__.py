"""A trained run beyond Python and Keras: model servers, phones, clients."""
