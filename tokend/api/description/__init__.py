"""What the API is, for programs: OpenAPI 3.1, at ``/openapi.json``.

``paths`` has the routes, ``answers`` what they answer, ``shapes`` what is in that.

https://spec.openapis.org/oas/v3.1.1.html
"""

from tokend.api.description.document import document

__all__ = ["document"]
