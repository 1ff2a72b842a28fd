"""Object stores as destinations of downloads, with obstore (extra ``cloud``), which only `bucket` imports."""
