"""Sentences with one that means the same and one that only shares its words; written for this project."""

from __future__ import annotations

__all__ = ["TRIPLES"]

# (sentence, same meaning in other words, other meaning in the same words)
TRIPLES = (
    ("A man is eating his dinner.", "Someone is having a meal.", "A man is cooking for his guests tomorrow."),
    (
        "The stock market fell sharply today.",
        "Shares lost a lot of their value.",
        "He fell sharply on the market square today.",
    ),
    (
        "How do I reset my password?",
        "I forgot my login and need a new one.",
        "How do I reset my washing machine?",
    ),
    (
        "The cat sleeps on the sofa.",
        "A kitten is napping on the couch.",
        "The cat food is on the sofa table.",
    ),
    (
        "It will rain tomorrow.",
        "The forecast says showers for the next day.",
        "It will be my birthday tomorrow.",
    ),
    (
        "The plane was delayed by two hours.",
        "Our flight left late.",
        "The plane carries two hundred passengers.",
    ),
    ("She bought a new car.", "She purchased an automobile.", "She washed the car with new shampoo."),
    (
        "The doctor prescribed antibiotics.",
        "The physician gave her medicine against the infection.",
        "The doctor lives in a new house.",
    ),
    (
        "Children are playing in the park.",
        "Kids have fun outdoors on the playground.",
        "Parking for children's hospital visitors is free.",
    ),
    (
        "The bank raised its interest rates.",
        "Borrowing money became more expensive.",
        "We sat on the bank of the river.",
    ),
    (
        "My phone battery dies quickly.",
        "The charge of my mobile does not last long.",
        "My phone number changed quickly.",
    ),
    ("He plays the guitar very well.", "He is a skilled guitarist.", "He plays football very well."),
    (
        "The train to Berlin leaves at noon.",
        "At twelve there is a rail connection to Berlin.",
        "Berlin has a train museum.",
    ),
    (
        "This restaurant serves great pasta.",
        "You can eat excellent Italian food here.",
        "This restaurant serves no lunch on Mondays.",
    ),
    (
        "The company laid off hundreds of workers.",
        "Many employees lost their jobs at the firm.",
        "Hundreds of workers came to the company party.",
    ),
    (
        "Water boils at one hundred degrees.",
        "The boiling point of H2O is 100 °C.",
        "One hundred people carried water.",
    ),
    (
        "I would like to cancel my order.",
        "Please do not send what I bought.",
        "I would like to place an order.",
    ),
    ("The parcel never arrived.", "My package was not delivered.", "The parcel weighs two kilograms."),
    (
        "Scientists discovered a new planet.",
        "Astronomers found an unknown world around a star.",
        "Scientists wrote a new plan.",
    ),
    (
        "The film was boring.",
        "I nearly fell asleep during the movie.",
        "The film was shown in ten countries.",
    ),
    (
        "Sort a list of numbers in Python.",
        "Order an array of integers ascending with code.",
        "A python is a list of snakes' longest number.",
    ),
    ("The house is on fire.", "Flames are coming out of the building.", "The house is on Fire Street."),
    ("She is learning to drive.", "She takes lessons behind the wheel.", "She is learning to draw."),
    (
        "The team won the championship.",
        "They became the best club of the season.",
        "The team lost its bus driver.",
    ),
)
