"""The device gateway: WebSocket connections of devices, as a role of its own."""
