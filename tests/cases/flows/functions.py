"""What the steps of the corpus call."""


def fetch_data():
    return [1, 2]


def clean_data(data):
    return data


def halves(data=()):
    return data[::2], data[1::2]
