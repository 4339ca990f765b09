"""How the broker says no: the reply codes of AMQP 0-9-1, with the words RabbitMQ puts before them."""


class Refused(Exception):
    """The client asked for what cannot be; closes its AMQP channel, or its connection where that is the rule."""

    closes_connection = False

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text[:255]


class ConnectionRefused(Refused):
    """So wrong that the whole connection ends."""

    closes_connection = True


def access_refused(text: str) -> Refused:
    return Refused(403, f"ACCESS_REFUSED - {text}")


def not_found(text: str) -> Refused:
    return Refused(404, f"NOT_FOUND - {text}")


def resource_locked(text: str) -> Refused:
    return Refused(405, f"RESOURCE_LOCKED - {text}")


def precondition_failed(text: str) -> Refused:
    return Refused(406, f"PRECONDITION_FAILED - {text}")


def not_logged_in() -> Refused:
    return ConnectionRefused(403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN")


def frame_error(text: str) -> Refused:
    return ConnectionRefused(501, f"FRAME_ERROR - {text}")


def command_invalid(text: str) -> Refused:
    return ConnectionRefused(503, f"COMMAND_INVALID - {text}")


def unexpected_frame(text: str) -> Refused:
    return ConnectionRefused(505, f"UNEXPECTED_FRAME - {text}")


def not_allowed(text: str) -> Refused:
    return ConnectionRefused(530, f"NOT_ALLOWED - {text}")


def not_implemented(text: str) -> Refused:
    return ConnectionRefused(540, f"NOT_IMPLEMENTED - {text}")
