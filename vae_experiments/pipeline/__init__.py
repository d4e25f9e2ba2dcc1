"""The experiment: encode, change, decode, measure, write."""
