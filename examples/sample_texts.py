"""The invented texts of the sample documents."""

from __future__ import annotations

LETTER = [
    "Harbour Street Bindery",
    "14 Harbour Street, Port Ellery",
    "",
    "3 March 2026",
    "",
    "Mrs Edith Marlow",
    "The Old Rectory",
    "Upper Wexcombe",
    "",
    "Dear Mrs Marlow,",
    "",
    (
        "Thank you for sending us your grandfather's atlas. The parcel arrived on Monday, well packed and quite dry. "
        "We have looked at it with care, and I am glad to say that the maps are in good order: of the 64 plates only "
        "two are torn, and none is missing."
    ),
    "",
    (
        "The binding is another matter. The spine has come away from the boards, and the leather is too brittle to be "
        "used again. We would sew the sections on new cords, keep the marbled boards, and cover the spine in calf. "
        "The old title label can be saved."
    ),
    "",
    (
        "Our estimate for this work is 385 pounds, with a further 40 pounds for the two torn plates. It would be ready "
        "in about nine weeks. If you agree, please sign the enclosed form and return it to us; no payment is needed "
        "before the work is done."
    ),
    "",
    "With kind regards,",
    "",
    "Thomas Arkwright",
    "Master bookbinder",
]

RECEIPT_HEAD = ["GREEN LANTERN GROCERS", "22 Mill Lane, Ashby", "Tel. 0555 014 872", "", "17.02.2026 18:42"]
RECEIPT_ITEMS = [
    ("Rye bread", "3.20"),
    ("Oat milk 2 x 1.45", "2.90"),
    ("Apples 1.2 kg", "3.48"),
    ("Goat cheese", "4.75"),
    ("Dark chocolate", "2.60"),
    ("Olive oil", "8.90"),
    ("Paper bag", "0.15"),
]
RECEIPT_TOTALS = [
    ("Subtotal", "25.98"),
    ("VAT 7 %", "1.70"),
    ("TOTAL EUR", "25.98"),
    ("Cash", "30.00"),
    ("Change", "4.02"),
]
RECEIPT_FOOT = ["Thank you for your visit!", "Please keep this receipt"]

ARTICLE_TITLE = "The Lighthouse Keepers of Gull Island"
ARTICLE_BYLINE = "A short history of two hundred years of light"
ARTICLE_LEFT = [
    (
        "When the first lamp was lit on Gull Island in 1811 it burned whale oil, and the keeper had to climb the 142 "
        "steps of the tower every three hours to trim its wick. He was paid forty pounds a year and given a boat, a "
        "cow and a garden that never grew anything but kale."
    ),
    (
        "The island lay eleven miles from the nearest harbour. In winter weeks could pass without a landing, and the "
        "keepers learned to bake, to mend their boots and to set a broken arm. Their children were taught at home, by "
        "the light that warned the ships."
    ),
    (
        "In 1868 the oil lamp gave way to paraffin, and a great lens was brought from the mainland in nineteen crates. "
        "It took a summer to put it together, and the beam could now be seen for twenty miles."
    ),
]
ARTICLE_RIGHT = [
    (
        "Not everyone was pleased. Fishermen complained that the new light frightened the herring, and a petition with "
        "sixty names was sent to the harbour board. The board replied that no herring had ever been wrecked."
    ),
    (
        "The last family left the island in 1954, when the lamp was connected to a cable and a clock. Martha Quill, "
        "who was born in the keeper's cottage, remembered the silence after the engine had been switched off. She said "
        "that for a month she woke at three each morning to listen for it."
    ),
    (
        "Today the tower belongs to a small trust. Volunteers paint the railings every spring, visitors may climb the "
        "stairs on Sundays, and the light still turns, although the ships that pass below no longer need it."
    ),
]

MINUTES = [
    [
        "Minutes of the Allotment Society",
        "",
        "Meeting of 12 January 2026 in the village hall",
        "",
        "Present: Mr Bell (chair), Mrs Osei, Mr Lindqvist, Ms Hart, Mr Okafor. Apologies were received from Mrs Dunn.",
        "",
        (
            "The chair opened the meeting at 7.30 pm. The minutes of the last meeting were read and approved without "
            "changes."
        ),
        "",
        (
            "Mrs Osei gave the treasurer's report. The balance on 31 December was 1,284.60 pounds, which is 112 pounds "
            "more than a year ago. All rents but two have been paid."
        ),
    ],
    [
        "Water",
        "",
        (
            "Mr Lindqvist reported that the pipe to the lower plots had burst again in the frost. A repair would cost "
            "about 90 pounds, a new pipe 640 pounds. It was agreed by four votes to one to lay a new one before Easter."
        ),
        "",
        "Hedges and paths",
        "",
        (
            "The hedge along Station Road is to be cut in the last week of February. Ms Hart will ask for volunteers. "
            "Members are reminded that the middle path must be kept clear for the wheelbarrows."
        ),
    ],
    [
        "Any other business",
        "",
        (
            "Mr Okafor asked whether bees might be kept on plot 17, which has been empty since autumn. The neighbours "
            "are to be asked first, and the question will be taken up again in March."
        ),
        "",
        "The seed exchange will be held on 28 February at 10 am.",
        "",
        "The meeting closed at 8.50 pm. The next meeting is on 9 March 2026.",
        "",
        "Signed: G. Bell, chair",
    ],
]

REPORT = [
    (18, "Rainfall at Wexcombe Station"),
    (11, "Annual summary for 2025, prepared by the Weather Club"),
    (11, ""),
    (11, "The year was drier than most. The gauge behind the school collected 612 mm, against"),
    (11, "a mean of 705 mm for the last thirty years. April had no rain at all on 21 days, and"),
    (11, "the brook below the mill fell silent for the first time since 1996."),
    (11, ""),
    (11, "The wettest day was 14 October, with 38 mm between breakfast and tea. Two cellars were"),
    (11, "flooded in Church Row, and the harvest supper was moved from the green to the barn."),
]
REPORT_TABLE = [
    ("Season", "Rain (mm)", "Days with rain"),
    ("Winter", "188", "41"),
    ("Spring", "97", "22"),
    ("Summer", "134", "25"),
    ("Autumn", "193", "39"),
]
