"""Running in containers: the image, its health, and the secrets of docker-compose.yml."""
