"""The two sample applications' own queries, written with `dbopt.client`: what a program that uses it looks like."""
