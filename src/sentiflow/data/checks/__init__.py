"""Which rows and nights are fit?"""
