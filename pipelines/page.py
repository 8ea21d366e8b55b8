def write_page(out, manifest, ontology):
    return out / "overview.html"
