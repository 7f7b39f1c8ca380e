raise TypeError("not today")
