"""backaudit screen: single images, scored and flagged."""
