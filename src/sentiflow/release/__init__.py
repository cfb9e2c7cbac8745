"""Who is champion, and since when?"""
