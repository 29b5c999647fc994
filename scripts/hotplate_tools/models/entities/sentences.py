"""English sentences and their named entities: what `entities` is measured on.

Written for this project, after OntoNotes' rules for labels, before the model was asked; none was taken out or
changed afterwards. People, places and firms are real, what is said of them is not. Licence as this project's.
"""

from __future__ import annotations

__all__ = ["SENTENCES"]

SENTENCES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Angela Merkel met Emmanuel Macron in Paris on Tuesday.",
        (("Angela Merkel", "PERSON"), ("Emmanuel Macron", "PERSON"), ("Paris", "GPE"), ("Tuesday", "DATE")),
    ),
    (
        "Microsoft bought a small company in Norway for $120 million.",
        (("Microsoft", "ORG"), ("Norway", "GPE"), ("$120 million", "MONEY")),
    ),
    (
        "The Danube flows through Vienna and Budapest.",
        (("Danube", "LOC"), ("Vienna", "GPE"), ("Budapest", "GPE")),
    ),
    (
        "Marie Curie was born in Warsaw in 1867.",
        (("Marie Curie", "PERSON"), ("Warsaw", "GPE"), ("1867", "DATE")),
    ),
    (
        "About 40% of the voters in Brazil stayed at home.",
        (("About 40%", "PERCENT"), ("Brazil", "GPE")),
    ),
    (
        "Three Japanese tourists lost their passports.",
        (("Three", "CARDINAL"), ("Japanese", "NORP")),
    ),
    (
        "The second chapter was written by Jane Austen.",
        (("second", "ORDINAL"), ("Jane Austen", "PERSON")),
    ),
    (
        "Samsung will open a factory near Austin next year.",
        (("Samsung", "ORG"), ("Austin", "GPE"), ("next year", "DATE")),
    ),
    (
        "The marathon ended after two hours and ten minutes.",
        (("two hours and ten minutes", "TIME"),),
    ),
    (
        "She speaks French and a little Arabic.",
        (("French", "LANGUAGE"), ("Arabic", "LANGUAGE")),
    ),
    (
        "The European Union fined Google 2.4 billion euros in 2017.",
        (("The European Union", "ORG"), ("Google", "ORG"), ("2.4 billion euros", "MONEY"), ("2017", "DATE")),
    ),
    (
        "Nelson Mandela became president of South Africa in May 1994.",
        (("Nelson Mandela", "PERSON"), ("South Africa", "GPE"), ("May 1994", "DATE")),
    ),
    (
        "The parcel weighs 12 kilograms.",
        (("12 kilograms", "QUANTITY"),),
    ),
    (
        "Toyota and Honda are based in Japan.",
        (("Toyota", "ORG"), ("Honda", "ORG"), ("Japan", "GPE")),
    ),
    (
        "Mount Everest was first climbed by Edmund Hillary and Tenzing Norgay.",
        (
            ("Mount Everest", "LOC"),
            ("first", "ORDINAL"),
            ("Edmund Hillary", "PERSON"),
            ("Tenzing Norgay", "PERSON"),
        ),
    ),
    (
        "Thousands of people fled Syria during World War II.",
        (("Thousands", "CARDINAL"), ("Syria", "GPE"), ("World War II", "EVENT")),
    ),
    (
        "The Senate will vote on the bill on Thursday morning.",
        (("Senate", "ORG"), ("Thursday", "DATE"), ("morning", "TIME")),
    ),
    (
        "Amazon said on Monday that it would hire 5,000 people in Germany.",
        (("Amazon", "ORG"), ("Monday", "DATE"), ("5,000", "CARDINAL"), ("Germany", "GPE")),
    ),
    (
        "Charles Dickens wrote Oliver Twist in London.",
        (("Charles Dickens", "PERSON"), ("Oliver Twist", "WORK_OF_ART"), ("London", "GPE")),
    ),
    (
        "The bridge between Denmark and Sweden is almost eight kilometers long.",
        (("Denmark", "GPE"), ("Sweden", "GPE"), ("almost eight kilometers", "QUANTITY")),
    ),
    (
        "Sales at Volkswagen fell by 7.5 percent in the third quarter.",
        (("Volkswagen", "ORG"), ("7.5 percent", "PERCENT"), ("the third quarter", "DATE")),
    ),
    (
        "The United Nations was founded in San Francisco.",
        (("The United Nations", "ORG"), ("San Francisco", "GPE")),
    ),
    (
        "Ludwig van Beethoven moved to Vienna when he was 21 years old.",
        (("Ludwig van Beethoven", "PERSON"), ("Vienna", "GPE"), ("21 years old", "DATE")),
    ),
    (
        "The train from Madrid arrives at 6:30 p.m.",
        (("Madrid", "GPE"), ("6:30 p.m.", "TIME")),
    ),
    (
        "Italian police arrested four men in Naples last night.",
        (("Italian", "NORP"), ("four", "CARDINAL"), ("Naples", "GPE"), ("last night", "TIME")),
    ),
    (
        "Steve Jobs founded Apple with Steve Wozniak in 1976.",
        (("Steve Jobs", "PERSON"), ("Apple", "ORG"), ("Steve Wozniak", "PERSON"), ("1976", "DATE")),
    ),
    (
        "The ticket costs 15 dollars.",
        (("15 dollars", "MONEY"),),
    ),
    (
        "Lake Victoria borders Kenya, Uganda and Tanzania.",
        (("Lake Victoria", "LOC"), ("Kenya", "GPE"), ("Uganda", "GPE"), ("Tanzania", "GPE")),
    ),
    (
        "Christian and Muslim leaders met in Jerusalem.",
        (("Christian", "NORP"), ("Muslim", "NORP"), ("Jerusalem", "GPE")),
    ),
    (
        "Barack Obama was elected on November 4, 2008.",
        (("Barack Obama", "PERSON"), ("November 4, 2008", "DATE")),
    ),
    (
        "It rained for five days in Mumbai.",
        (("five days", "DATE"), ("Mumbai", "GPE")),
    ),
    (
        "The World Bank lent Ghana $300 million for roads.",
        (("The World Bank", "ORG"), ("Ghana", "GPE"), ("$300 million", "MONEY")),
    ),
    (
        "Siemens and General Electric compete for the order.",
        (("Siemens", "ORG"), ("General Electric", "ORG")),
    ),
    (
        "Only a third of the members of Congress agreed.",
        (("Only a third", "CARDINAL"), ("Congress", "ORG")),
    ),
    (
        "Isaac Newton studied at the University of Cambridge.",
        (("Isaac Newton", "PERSON"), ("the University of Cambridge", "ORG")),
    ),
    (
        "They crossed the Atlantic Ocean in 14 days.",
        (("the Atlantic Ocean", "LOC"), ("14 days", "DATE")),
    ),
    (
        "The cat sleeps on the warm stove.",
        (),
    ),
    (
        "Please close the window before you leave.",
        (),
    ),
    (
        "Bread, butter and cheese are all you need.",
        (),
    ),
    (
        "He painted the kitchen green and went home.",
        (),
    ),
)
