"""The firewall: screeners calibrated for one network, at work on single images."""
