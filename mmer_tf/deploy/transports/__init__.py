"""How a client reaches a model server: REST or gRPC."""
