"""The doors of outbound over HTTP: for room owners, and for services that post."""
