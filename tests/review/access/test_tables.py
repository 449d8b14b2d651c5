from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import marrowscope.review.access.tables  # noqa: F401  (its tables join the metadata)
from marrowscope.review.tables import metadata


def test_the_migrations_make_the_tables_that_the_program_uses(review):
    with review.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
