"""What `backaudit screen` reports: lines while it goes on, and pages once it is over."""
