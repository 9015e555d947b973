"""How a group lists its checks: a rule, what is promised, and the function that finds out."""


class Check:
    def __init__(self, rules, what, run):
        self.rules, self.what, self.run = rules, what, run


class Group:
    """The checks of a file, in the order they are written in."""

    def __init__(self, name):
        self.name = name
        self.checks = []

    def check(self, rules, what):
        def enter(function):
            self.add(rules, what, function)
            return function
        return enter

    def add(self, rules, what, run):
        self.checks.append(Check(rules, what, run))
