print("connect\tok\t")
