"""CT phantoms: bodies with lesions whose labels are known, as slices in HU and as reports."""
