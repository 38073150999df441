"""SAM-OCTA2 in napari: a reader, and a dock widget that segments an image layer. `segmenter` works without Qt and napari."""
