"""What tables and pictures of results are made of, whatever the method."""
