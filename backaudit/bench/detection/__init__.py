"""`bench detect`: detectors on models, the tables of them, and their calibration."""
