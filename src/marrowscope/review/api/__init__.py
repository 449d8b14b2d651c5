"""The interface for programs, ``/api/v1``: what the pages do, as documented HTTP (OpenAPI at ``/api/docs``)."""
