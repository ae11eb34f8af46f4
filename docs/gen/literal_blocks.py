"""Docstrings announce a block of code with two colons, as Python's own do; pages show one."""


def on_page_content(html: str, **_: object) -> str:
    """Return a page's HTML with one colon before each block of code."""
    return html.replace("::</p>", ":</p>")
