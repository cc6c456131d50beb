"""The same calls by task queues: Celery on Redis, procrastinate on PostgreSQL."""
