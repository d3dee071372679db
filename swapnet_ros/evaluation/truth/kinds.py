"""Kinds of label files. Imports nothing: the command names them in its help."""

KINDS = ("coco", "yolo", "voc", "masks", "lane_masks", "class_table", "class_names", "tusimple")
