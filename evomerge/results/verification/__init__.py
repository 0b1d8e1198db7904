"""Held-out verification: is a winner real?"""
