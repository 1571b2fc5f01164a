"""Do the frameworks agree?"""
