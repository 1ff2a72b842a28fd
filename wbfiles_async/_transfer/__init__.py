"""Moving bytes: bulk -> download -> store, sink -> session -> transport. Data flows one way."""
