"""What each route takes and answers, shown once in the OpenAPI document. A test holds these examples to its schemas."""

from api.examples import broadcasts, dead_letters, devices, exports, operating, sending, webhooks

EXAMPLES = (
    sending.EXAMPLES
    | exports.EXAMPLES
    | devices.EXAMPLES
    | broadcasts.EXAMPLES
    | webhooks.EXAMPLES
    | dead_letters.EXAMPLES
    | operating.EXAMPLES
)
