"""The words of the phantom's reports: how labels, places and distractions are put."""

from __future__ import annotations

from typing import Final

ADJECTIVES: Final = {
    "large": ("large", "bulky", "large"),
    "tiny": ("tiny", "very small", "minute"),
    "subcentimeter": ("subcentimeter", "subcentimeter", "sub-centimeter"),
    "spiculated": ("spiculated", "irregular", "spiculated"),
    "lobular": ("lobulated", "lobular"),
    "calcified": ("calcified", "partially calcified", "partly calcified"),
    "cavitary": ("cavitary", "cavitating", "cavitary"),
    "exophytic": ("exophytic",),
    "hypoattenuation": ("hypodense", "hypoattenuating", "low-attenuation", "low density"),
    "hyperattenuation": ("hyperdense", "hyperattenuating", "high-attenuation"),
    "sclerotic": ("sclerotic", "osteoblastic"),
    "lytic": ("lytic", "osteolytic"),
    "lymphadenopathy": ("enlarged",),  # of a node
}

NOUNS: Final = {
    "lung nodule": ("nodule", "nodule", "pulmonary nodule", "lung nodule"),
    "lung mass": ("mass", "lung mass", "mass"),
    "ground-glass opacity": ("ground-glass opacity", "ground glass opacity", "GGO"),
    "kidney cyst": ("cyst", "renal cyst", "cyst"),
    "cyst": ("cyst", "cystic lesion"),
    "liver mass": ("mass", "hepatic mass", "liver mass"),
    "lymphadenopathy": ("lymph node", "lymphadenopathy", "adenopathy", "node", "lymph node"),
    "mass": ("mass",),
    "nodule": ("nodule",),
    "lipoma": ("lipoma",),
    "node": ("lymph node", "node", "lymph node"),
    "lesion": ("lesion", "focus", "lesion"),
}

# Adjectives that go before the noun, and places that go behind it.
BEFORE: Final = {
    "right upper lobe": ("right upper lobe", "RUL"),
    "right middle lobe": ("right middle lobe", "RML"),
    "right lower lobe": ("right lower lobe", "RLL"),
    "left upper lobe": ("left upper lobe", "LUL"),
    "left lower lobe": ("left lower lobe", "LLL"),
    "mediastinum lymph node": ("mediastinal",),
    "axilla lymph node": ("axillary",),
    "liver": ("hepatic",),
    "spleen": ("splenic",),
    "right kidney": ("right renal",),
    "left kidney": ("left renal",),
    "right adrenal gland": ("right adrenal",),
    "left adrenal gland": ("left adrenal",),
    "retroperitoneum lymph node": ("retroperitoneal", "para-aortic", "left para-aortic"),
    "iliac lymph node": ("iliac", "iliac chain"),
    "thoracic spine": ("thoracic spine",),
    "lumbar spine": ("lumbar spine",),
    "pelvic bone": ("pelvic bone",),
    "abdominal wall": ("subcutaneous", "anterior abdominal wall"),
    "gluteal muscle": ("intramuscular", "gluteal muscle"),
}
BEHIND: Final = {
    "right upper lobe": ("in the right upper lobe", "of the right upper lobe", "in the RUL"),
    "right middle lobe": ("in the right middle lobe", "of the middle lobe"),
    "right lower lobe": ("in the right lower lobe", "at the RLL", "of the right lower lobe"),
    "left upper lobe": ("in the left upper lobe", "of the LUL"),
    "left lower lobe": ("in the left lower lobe", "in the LLL"),
    "mediastinum lymph node": ("in the mediastinum", "of the mediastinum"),
    "axilla lymph node": ("in the axilla",),
    "liver": ("in the liver", "within the liver", "of the hepatic parenchyma"),
    "spleen": ("in the spleen", "within the spleen"),
    "right kidney": ("in the right kidney", "of the right kidney"),
    "left kidney": ("in the left kidney", "of the left kidney"),
    "right adrenal gland": ("in the right adrenal gland", "of the right adrenal gland"),
    "left adrenal gland": ("in the left adrenal gland", "of the left adrenal"),
    "retroperitoneum lymph node": ("in the retroperitoneum", "in the para-aortic region"),
    "iliac lymph node": ("in the iliac chain", "in the pelvis"),
    "thoracic spine": ("in the thoracic spine", "of the thoracic spine"),
    "lumbar spine": ("in the lumbar spine", "of the lumbar spine"),
    "pelvic bone": ("in the pelvic bone", "of the iliac bone"),
    "abdominal wall": (
        "in the subcutaneous fat",
        "in the anterior abdominal wall",
        "in the subcutaneous fat of the anterior abdominal wall",
    ),
    "gluteal muscle": ("in the gluteal muscle", "within the gluteal muscle"),
}
VAGUE: Final = {  # what remains of a place that a sentence leaves vague
    "right upper lobe": "in the right lung", "right middle lobe": "in the right lung",
    "right lower lobe": "in the right lung", "left upper lobe": "in the left lung",
    "left lower lobe": "in the left lung", "thoracic spine": "in the spine",
    "lumbar spine": "in the spine", "right kidney": "in the kidney", "left kidney": "in the kidney",
    "iliac lymph node": "in the pelvis", "mediastinum lymph node": "in the chest",
    "liver": "in the upper abdomen",
}  # fmt: skip

# Neighbours, hedges and denials: what is not true of the lesion itself.
LANDMARKS: Final = {
    "chest": (
        "adjacent to the pleura", "close to the major fissure", "abutting the chest wall",
        "next to the mediastinum", "near the aortic arch", "adjacent to the thoracic spine",
        "above the diaphragm", "touching the esophagus",
    ),
    "abdomen": (
        "adjacent to the liver", "abutting the spleen", "next to the pancreas",
        "displacing the inferior vena cava", "anterior to the psoas muscle", "near the gallbladder",
        "close to the stomach", "adjacent to the lumbar spine", "next to the abdominal aorta",
    ),
    "pelvis": (
        "beside the urinary bladder", "next to the rectum", "adjacent to the sacrum",
        "medial to the iliac bone", "near the psoas muscle", "adjacent to the small bowel",
    ),
}  # fmt: skip
HEDGES: Final = {
    "chest": (
        ", which may represent metastasis", ", possibly lymphadenopathy",
        ", metastasis not excluded", ", malignancy versus infection", ", possibly an early mass",
        ", could be calcified",
    ),
    "abdomen": (
        ", which may represent a cyst", ", cyst versus metastasis", ", possibly a lipoma",
        ", possibly calcified", ", adenoma versus metastasis", ", perhaps a mass",
    ),
    "pelvis": (
        ", which may represent a cyst", ", metastasis not excluded", ", possibly lymphadenopathy",
        ", lipoma versus liposarcoma", ", possibly calcified",
    ),
}  # fmt: skip
DENIALS: Final = {
    "calcified": (" without calcification", ", no calcification", ", with no calcification"),
    "cavitary": (" without cavitation", ", no cavitation"),
    "spiculated": (", without spiculation", ", not spiculated"),
    "lymphadenopathy": (", no lymphadenopathy",),
    "cyst": (", not a cyst",),
}
PLAIN: Final = (
    "", "", "", ", unchanged", ", new since the prior study", ", stable since the previous CT",
    ", increased in size", ", not seen previously", ", incompletely imaged",
)  # fmt: skip

# Findings without a lesion of their own: article, words, the site that they name.
UNMARKED: Final = (
    ("a", "small cyst in the left kidney", "left kidney"),
    ("a", "simple cyst of the right kidney", "right kidney"),
    ("an", "unmeasured hypodense lesion in the liver", "liver"),
    ("a", "calcified granuloma in the spleen", "spleen"),
    ("a", "calcified mediastinal lymph node", "mediastinum lymph node"),
    ("a", "small right lower lobe nodule", "right lower lobe"),
    ("a", "tiny nodule in the left upper lobe", "left upper lobe"),
    ("a", "faint ground-glass opacity in the left lower lobe", "left lower lobe"),
    ("a", "sclerotic focus in the lumbar spine", "lumbar spine"),
    ("a", "lytic lesion of the thoracic spine", "thoracic spine"),
    ("a", "lipoma of the gluteal muscle", "gluteal muscle"),
    ("an", "unmeasured left adrenal nodule", "left adrenal gland"),
    ("a", "subcentimeter iliac lymph node", "iliac lymph node"),
    ("an", "axillary lymph node", "axilla lymph node"),
)

FILLERS: Final = {
    "chest": (
        "The heart is normal in size.", "No pleural effusion.", "The trachea is patent.",
        "Mild emphysema.", "No pneumothorax.", "The thyroid gland is unremarkable.",
        "Coronary artery calcification is present.",
    ),
    "abdomen": (
        "The gallbladder is unremarkable.", "No biliary dilatation.", "The pancreas is normal.",
        "No free fluid.", "The bowel is not dilated.", "Mild atherosclerosis of the aorta.",
    ),
    "pelvis": (
        "The urinary bladder is unremarkable.", "No free fluid in the pelvis.",
        "Degenerative changes of the hips.", "The rectum is collapsed.",
    ),
}  # fmt: skip
HISTORIES: Final = (
    "lymphoma, follow-up", "renal cell carcinoma, restaging", "weight loss",
    "colon cancer, follow-up", "melanoma", "fever of unknown origin", "sarcoma, after surgery",
)  # fmt: skip
EXAMS: Final = {
    ("chest",): "CT CHEST", ("abdomen",): "CT ABDOMEN", ("pelvis",): "CT PELVIS",
    ("chest", "abdomen"): "CT CHEST AND ABDOMEN", ("abdomen", "pelvis"): "CT ABDOMEN AND PELVIS",
}  # fmt: skip
