"""Object stores as destinations of downloads, by obstore (extra ``cloud``), which only `bucket` imports."""
