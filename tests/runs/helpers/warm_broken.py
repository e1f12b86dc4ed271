raise ImportError("no such luck")
