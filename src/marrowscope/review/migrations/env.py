"""What Alembic runs: the migrations on a connection that is handed in, in one transaction."""

from __future__ import annotations

from alembic import context

from marrowscope.review.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
