"""What users build instead, small and as their manuals say, to be measured beside Carillon (decision 0022).

The programs run in an environment of their own (`locks/bench.txt`): nothing else of ours may be imported by them.
"""
